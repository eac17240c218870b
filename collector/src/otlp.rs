//! Takes in traces over OTLP: gRPC and HTTP, protobuf and JSON.

//! What the state keeps of objects.

//! Open-loop load: journeys of customers.

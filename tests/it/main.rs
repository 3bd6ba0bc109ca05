//! What the parts promise together, and what we ship beside the program, tried from outside.

mod example_config;

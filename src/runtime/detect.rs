//! Which runtime is there, and by which endpoint it is reached.

//! Apple's `container`, driven through its command line.

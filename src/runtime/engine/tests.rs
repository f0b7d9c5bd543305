//! The engine against scripted servers.

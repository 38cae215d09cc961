//! What callers send, read into what the domain takes.

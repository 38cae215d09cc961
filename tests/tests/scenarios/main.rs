//! All scenarios within one process, in one test binary: it links the server once. Those that start the program are in
//! `services/cli/tests`.

mod access;
mod always_end;
mod architecture;
mod bad_input;
mod boards;
mod clocks;
mod conformance;
mod policies;
mod repeats;
mod streams;
mod together;
mod turns;

//! The rules of duban: pure decisions and folds, no I/O, no clock.

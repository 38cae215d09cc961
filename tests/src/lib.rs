//! Scenarios and the harness around them.

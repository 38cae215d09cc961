//! The public contract of duban: events and services, and the types generated from them.

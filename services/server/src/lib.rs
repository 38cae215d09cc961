//! The gRPC server: runner, reactions, sealing, identity.

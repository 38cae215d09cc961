//! Compiles the protos with protox, so that a build needs no protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = ["gossip.proto", "operations.proto", "server_features.proto", "streams.proto"];
    let set = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure()
        .build_client(false)
        .bytes(".event_store")
        .include_file("event_store.rs")
        .emit_rerun_if_changed(false)
        .compile_fds(set)?;
    Ok(())
}

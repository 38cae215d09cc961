//! Compiles the protos with protox, so that a build needs no protoc.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;

/// Far larger than their siblings, and a payload enum is moved by value: kept behind a box.
const BOXED: [&str; 2] =
    [".duban.event.v1.Event.payload.ticket_taken_in", ".duban.event.v1.Event.payload.clock_started"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=duban");
    let mut files = protos(Path::new("duban/event/v1"))?;
    files.extend(protos(Path::new("duban/api/v1"))?);
    let set = protox::compile(files, ["."])?;

    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("duban.binpb"), set.encode_to_vec())?;
    let builder = BOXED.iter().fold(tonic_prost_build::configure(), tonic_prost_build::Builder::boxed);
    builder.codec_path("crate::codec::NamingCodec").emit_rerun_if_changed(false).compile_fds(set)?;
    Ok(())
}

fn protos(directory: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        files.push(entry?.path());
    }
    // The order of the descriptor set, and of what is generated, does not hang on the file system.
    files.sort();
    Ok(files)
}

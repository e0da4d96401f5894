//! Compiles `proto/message.proto` in pure Rust (no protoc) and keeps its descriptors for the reflection service.

use std::path::PathBuf;

const PROTO: &str = "../../proto/message.proto";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    let mut compiler = protox::Compiler::new(["../../proto"])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_file(PROTO)?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: build with cargo")?);
    std::fs::write(out.join("message.bin"), compiler.encode_file_descriptor_set())?;
    // The generated client serves the tests as an independent caller; the prober speaks HTTP/2 by itself (see `call`).
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

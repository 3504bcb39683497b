// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Has libpcap linked statically, so that the program runs where there is none, or another one.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=src/absent.c");
    let compiler = cc::Build::new().get_compiler();
    let place = Command::new(compiler.path()).arg("-print-file-name=libpcap.a").output().expect("the C compiler runs");
    let archive = PathBuf::from(String::from_utf8_lossy(&place.stdout).trim());
    // The compiler repeats the bare name of what it does not find.
    if !archive.is_absolute() {
        println!("cargo:warning=there is no libpcap.a: the program will need libpcap where it runs");
        return;
    }
    // A folder that is searched first, and has no shared library that would be preferred.
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("static");
    fs::create_dir_all(&folder).expect("OUT_DIR is writable");
    let link = folder.join("libpcap.a");
    let _ = fs::remove_file(&link);
    symlink(&archive, &link).expect("OUT_DIR is writable");
    println!("cargo:rustc-link-search=native={}", folder.display());
    cc::Build::new().file("src/absent.c").link_lib_modifier("+whole-archive").compile("absent");
}

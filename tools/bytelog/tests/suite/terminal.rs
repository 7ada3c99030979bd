// SPDX-License-Identifier: GPL-2.0

//! `top` on a terminal: a screen, which goes when it is asked to, and leaves the terminal
//! as it was.

use crate::stat::recorded;
use rustix::pty::{grantpt, openpt, ptsname, unlockpt, OpenptFlags};
use rustix::termios::{tcgetattr, tcsetwinsize, LocalModes, Winsize};
use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::mpsc::channel;

/// Leave the alternate screen.
const LEAVE: &str = "\x1b[?1049l";

#[test]
fn a_screen_until_q() {
    let (_dir, root) = recorded();
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let open = || {
        let mut options = File::options();
        let path = name.to_str().unwrap();
        options.read(true).write(true).open(path).unwrap()
    };
    let slave = open();
    let size = Winsize {
        ws_row: 24,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&slave, size).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bytelog"))
        .args(["top", "--interval", "0.05", "--root"])
        .arg(&root)
        .stdin(open())
        .stdout(open())
        .spawn()
        .unwrap();
    let mut keys = File::from(master);
    let mut screen = keys.try_clone().unwrap();
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(len) = screen.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..len]).into_owned();
            if send.send(text).is_err() {
                break;
            }
        }
    });
    let mut shown = String::new();
    while !shown.contains("pmem0") {
        shown += &receive.recv().unwrap();
    }
    let local = || tcgetattr(&slave).unwrap().local_modes;
    assert!(!local().contains(LocalModes::ECHO));
    keys.write_all(b"q").unwrap();
    assert!(child.wait().unwrap().success());
    while !shown.contains(LEAVE) {
        shown += &receive.recv().unwrap();
    }
    assert!(local().contains(LocalModes::ECHO));
}

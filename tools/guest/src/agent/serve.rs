// SPDX-License-Identifier: GPL-2.0
//! Requests from the host: each is served by a thread of its own, so that a
//! workload runs on while others come in.

use super::{
    apart, cost, devices, exec, failing, hold, kmsg, mark, modules, mounts, runner, short,
    shutdown, stats, stress, trace,
};
use anyhow::{anyhow, Context, Result};
use bytelog_guest::proto::{Cmd, FcStats, Message, Request, PORT};
use bytelog_guest::tree;
use serde::Serialize;
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The way back to the host.
#[derive(Clone)]
pub struct Link(Arc<Mutex<File>>);

impl Link {
    fn send(&self, message: &Message) -> Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut port = self.0.lock().map_err(|_| anyhow!("port lock"))?;
        port.write_all(&line).context("virtio-serial port")
    }

    /// Reports an fsync that has returned. When this returns, the line is on its
    /// way; the host counts what has arrived.
    pub fn ack(&self, id: u64, n: u64, stats: Option<FcStats>) -> Result<()> {
        self.send(&Message::Ack { id, n, stats })
    }
}

fn find_port() -> Result<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if let Ok(ports) = fs::read_dir("/sys/class/virtio-ports") {
            for port in ports.flatten() {
                let name = fs::read_to_string(port.path().join("name")).unwrap_or_default();
                if name.trim() == PORT {
                    return Ok(format!("/dev/{}", port.file_name().to_string_lossy()));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(anyhow!("no virtio-serial port named {PORT}"))
}

pub fn serve() -> Result<()> {
    let path = find_port()?;
    let port = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| path.clone())?;
    let reader = BufReader::new(port.try_clone()?);
    let link = Link(Arc::new(Mutex::new(port)));
    link.send(&Message::Ready)?;
    for line in reader.lines() {
        let request: Request = serde_json::from_str(&line.context("port")?)?;
        let link = link.clone();
        std::thread::spawn(move || {
            let id = request.id;
            let result = answer(request, &link).map_err(|err| format!("{err:#}"));
            let _ = link.send(&Message::Reply { id, result });
        });
    }
    Ok(())
}

fn value<T: Serialize>(result: Result<T>) -> Result<Value> {
    Ok(serde_json::to_value(result?)?)
}

fn answer(request: Request, link: &Link) -> Result<Value> {
    match request.cmd {
        Cmd::Hello => value(devices::hello()),
        Cmd::Insmod { path, params } => value(modules::insert(Path::new(&path), &params)),
        Cmd::Modprobe { name, deps_only } => value(modules::load(&name, deps_only)),
        Cmd::Rmmod { name } => value(modules::remove(&name)),
        Cmd::Run { argv, stdin } => value(exec::run(&argv, &stdin)),
        Cmd::RunCounted { argv, dev, journal } => {
            let journal = trace::Journal {
                dev: &dev,
                sectors: &journal,
            };
            value(trace::run(&argv, &dev, &journal))
        }
        Cmd::Mount(args) => value(mounts::mount_ext4(&args)),
        Cmd::Umount { dir } => value(mounts::unmount(&dir)),
        Cmd::Failing { nth, call } => value(failing::attempt(nth, &call)),
        Cmd::Shutdown { dir, how } => value(shutdown::shut_down(&dir, how)),
        Cmd::Resize { dir, blocks } => value(shutdown::resize(&dir, blocks)),
        Cmd::Preallocate { path, len } => value(hold::preallocate(&path, len)),
        Cmd::Checkpoint { dir } => value(shutdown::checkpoint(&dir)),
        Cmd::Hold { path, bytes } => value(hold::hold(&path, bytes)),
        Cmd::Release => value(hold::release()),
        Cmd::Read { path } => value(fs::read_to_string(&path).context(path)),
        Cmd::Write { path, data } => value(fs::write(&path, data).context(path)),
        Cmd::Workload { spec, dir, dev } => {
            value(runner::run(&spec, Path::new(&dir), &dev, |n, stats| {
                link.ack(request.id, n, stats)
            }))
        }
        Cmd::Stress { job, dir } => {
            let ack = |n| link.ack(request.id, n, None);
            value(stress::run(&job, Path::new(&dir), ack))
        }
        Cmd::Database { job, dir } => {
            let ack = |n| link.ack(request.id, n, None);
            value(stress::run_database(&job, Path::new(&dir), ack))
        }
        Cmd::Apart(cmd) => value(apart::run(&cmd, |n| link.ack(request.id, n, None))),
        Cmd::StressStop => {
            stress::stop();
            value(Ok(()))
        }
        Cmd::StressCheck { job, dir, acked } => value(stress::check(&job, Path::new(&dir), acked)),
        Cmd::DatabaseCheck { job, dir, acked } => {
            value(stress::check_database(&job, Path::new(&dir), acked))
        }
        Cmd::Measure {
            spec,
            dir,
            dev,
            journal,
            journal_dev,
        } => {
            let journal = trace::Journal {
                dev: journal_dev.as_deref().unwrap_or(&dev),
                sectors: &journal,
            };
            value(trace::measure(&spec, Path::new(&dir), &dev, &journal))
        }
        Cmd::Cost {
            load,
            dir,
            dev,
            fsyncs,
            batch,
            look_every,
        } => {
            let counts = [fsyncs, batch, look_every];
            value(cost::measure(load, Path::new(&dir), &dev, counts))
        }
        Cmd::CostIo {
            load,
            dir,
            dev,
            fsyncs,
            journal,
            journal_dev,
        } => {
            let journal = trace::Journal {
                dev: journal_dev.as_deref().unwrap_or(&dev),
                sectors: &journal,
            };
            value(cost::count_io(
                load,
                Path::new(&dir),
                &dev,
                fsyncs,
                &journal,
            ))
        }
        Cmd::Timed {
            job,
            dir,
            dev,
            ops,
            count,
        } => value(cost::timed(
            job,
            Path::new(&dir),
            &dev,
            ops,
            count.as_deref(),
        )),
        Cmd::Tree { dir } => value(tree::walk(Path::new(&dir))),
        Cmd::Stats { dev } => value(stats::read(&dev)),
        Cmd::Kmsg { since } => value(kmsg::since(since)),
        Cmd::Trace { segment } => value(mark::segment(segment)),
        Cmd::WatchCalls { functions } => value(mark::watch(&functions)),
        Cmd::Short(job) => value(short::run(&job)),
        Cmd::Poweroff => super::boot::power_off(),
    }
}

// SPDX-License-Identifier: GPL-2.0
//! One run of a machine, from power-on to power cut or power-off. Whatever
//! happens, QEMU does not outlive this value.

use crate::channel::{Acks, Channel};
use crate::config::{self, VmConfig};
use crate::console::Console;
use crate::disk;
use crate::host::{self, Host, Loss, Survivor, Tear};
use anyhow::{bail, Context, Result};
use bytelog_guest::proto::{Cmd, Hello};
use rustix::process::{kill_process, waitpid, Pid, Signal, WaitOptions};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

const CONNECT: Duration = Duration::from_secs(20);
const BOOT: Duration = Duration::from_secs(90);
/// The same with a root, which an initramfs has to find and check first.
const BOOT_ROOT: Duration = Duration::from_secs(300);
const ANSWER: Duration = Duration::from_secs(90);
/// For all acknowledgements that a cut waits for.
const TOTAL: Duration = Duration::from_secs(300);
const POWER_OFF: Duration = Duration::from_secs(30);

/// A power cut's leavings, taken without one.
pub struct Picture {
    pub acks: HashMap<u64, Acks>,
    pub virtio: Survivor,
    pub sync: Vec<u8>,
}

pub struct Vm {
    child: Child,
    disks: &'static [[&'static str; 3]],
    channel: Channel,
    patience: u32,
    host: Option<Arc<Host>>,
    pub console: Console,
    pub hello: Hello,
}

/// Ends QEMU when starting it up fails half way.
struct Starting(Option<Child>);

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Makes the files behind the devices, where they are not there yet.
pub fn make_images(config: &VmConfig) -> Result<()> {
    for (path, mib) in [
        (config::SYNC_IMAGE, config::SYNC_MIB),
        (config::VIRTIO_IMAGE, config.virtio_mib),
        (config::DISK_IMAGE, config.disk_mib),
        (config::NVME_IMAGE, config::DISK_MIB),
    ] {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| path.to_owned())?;
        file.set_len(mib << 20)?;
    }
    Ok(())
}

impl Vm {
    /// Starts a machine in the current directory and waits for its agent.
    pub fn boot(config: &VmConfig) -> Result<Self> {
        make_images(config)?;
        // The disks' caches are empty, and nothing has been written through them.
        for [image, base, log] in config.disks() {
            disk::copy(image.as_ref(), base.as_ref())?;
            File::create(log).context(*log)?;
        }
        match fs::remove_file(config::SOCKET) {
            Err(err) if err.kind() != ErrorKind::NotFound => return Err(err.into()),
            _ => {}
        }
        let listener = UnixListener::bind(config::SOCKET).context(config::SOCKET)?;
        fs::write(config::CONSOLE, "").context(config::CONSOLE)?;
        let log = File::create(config::QEMU_LOG).context(config::QEMU_LOG)?;
        let mut command = config.command();
        command.stdout(log.try_clone()?).stderr(log);
        let (child, host) = if config.watch_flushes {
            let (child, host) = host::spawn(&mut command, config::VIRTIO_IMAGE)?;
            (child, Some(host))
        } else {
            (command.spawn().context("qemu-system-x86_64")?, None)
        };
        let mut starting = Starting(Some(child));
        let channel = Channel::accept(&listener, CONNECT, || {
            if let Some(status) = starting.0.as_mut().and_then(|c| c.try_wait().transpose()) {
                let said = fs::read_to_string(config::QEMU_LOG).unwrap_or_default();
                bail!("QEMU: {}: {}", status?, said.trim());
            }
            Ok(())
        })?;
        let console = Console::new(Path::new(config::CONSOLE));
        let limit = if config.root.is_some() {
            BOOT_ROOT
        } else {
            BOOT
        };
        if let Err(err) = channel.wait_ready(limit * config.patience) {
            bail!("boot: {err:#}\n{}", console.tail(30));
        }
        let child = starting.0.take().context("QEMU")?;
        let mut vm = Self {
            child,
            disks: config.disks(),
            channel,
            patience: config.patience,
            host,
            console,
            hello: Hello {
                release: String::new(),
                devices: Vec::new(),
            },
        };
        vm.hello = vm.call(Cmd::Hello)?;
        // Of the kernel before anything under test is loaded.
        vm.console.check().context("boot")?;
        Ok(vm)
    }

    /// Sends a request and waits for its answer.
    pub fn call<T: DeserializeOwned>(&mut self, cmd: Cmd) -> Result<T> {
        self.call_for(cmd, ANSWER)
    }

    pub fn call_for<T: DeserializeOwned>(&mut self, cmd: Cmd, timeout: Duration) -> Result<T> {
        let what = format!("{cmd:.120?}");
        let id = self.channel.send(cmd)?;
        self.finish(id, &what, timeout)
    }

    /// Sends a request and goes on.
    pub fn start(&mut self, cmd: Cmd) -> Result<u64> {
        self.channel.send(cmd)
    }

    /// Waits for the answer to a request that was started.
    pub fn finish<T: DeserializeOwned>(
        &mut self,
        id: u64,
        what: &str,
        timeout: Duration,
    ) -> Result<T> {
        let value = self.channel.reply(id, what, timeout * self.patience)?;
        Ok(serde_json::from_value(value)?)
    }

    /// Waits for the end of a request that must fail; returns what it says.
    pub fn finish_failed(&self, id: u64, what: &str, timeout: Duration) -> Result<String> {
        match self.channel.outcome(id, what, timeout * self.patience)? {
            Ok(_) => bail!("{what}: no error"),
            Err(text) => Ok(text),
        }
    }

    /// What each workload has acknowledged so far.
    pub fn acks(&self) -> Result<HashMap<u64, Acks>> {
        self.channel.acks()
    }

    pub fn wait_acks(&self, id: u64, n: u64, timeout: Duration) -> Result<()> {
        self.channel.wait_acks(id, n, timeout * self.patience)
    }

    pub fn wait_total(&self, ids: &[u64], n: u64) -> Result<()> {
        self.channel.wait_total(ids, n, TOTAL * self.patience)
    }

    pub fn answered(&self, id: u64) -> Result<bool> {
        self.channel.answered(id)
    }

    /// Cuts the power: the machine stops where it is, and of what was not flushed
    /// the disks keep what `seed` says. Returns what each workload had
    /// acknowledged.
    pub fn cut(self, seed: u64) -> Result<HashMap<u64, Acks>> {
        let tear = Tear {
            seed,
            ..Tear::default()
        };
        Ok(self.cut_tearing(&tear)?.0)
    }

    /// The same; where flushes are watched, what none of them covered survives of
    /// virtio-pmem as `tear` says.
    pub fn cut_tearing(mut self, tear: &Tear) -> Result<(HashMap<u64, Acks>, Loss)> {
        self.child.kill().context("kill QEMU")?;
        self.child.wait().context("wait for QEMU")?;
        let acks = self.channel.drain()?;
        let mut disks = disk::Outcome::default();
        for files in self.disks {
            let [image, base, log] = files.map(Path::new);
            let outcome = disk::discard(image, base, log, tear.seed)?;
            disks.loose += outcome.loose;
            disks.dropped += outcome.dropped;
        }
        let loss = match self.host.take() {
            Some(host) => {
                let left = host.survivor(config::VIRTIO_IMAGE, tear)?;
                host.release()?;
                fs::write(config::VIRTIO_IMAGE, left.bytes)?;
                left.loss
            }
            None => Loss::default(),
        };
        self.console.check()?;
        let loss = Loss {
            loose: disks.loose,
            dropped: disks.dropped,
            ..loss
        };
        Ok((acks, loss))
    }

    /// What a cut would leave now, with the acknowledgements before it; the machine
    /// stands still meanwhile, and goes on. Of the synchronous device, the first
    /// `sync_bytes` bytes.
    pub fn picture(&mut self, tear: &Tear, sync_bytes: u64) -> Result<Picture> {
        let pid = Pid::from_child(&self.child);
        let acks = self.channel.acks()?;
        kill_process(pid, Signal::STOP).context("stop QEMU")?;
        waitpid(Some(pid), WaitOptions::UNTRACED).context("wait for QEMU to stop")?;
        let mut sync = Vec::new();
        let virtio = self.host()?.survivor(config::VIRTIO_IMAGE, tear);
        let read = File::open(config::SYNC_IMAGE)
            .and_then(|file| file.take(sync_bytes).read_to_end(&mut sync));
        kill_process(pid, Signal::CONT).context("continue QEMU")?;
        self.host()?.release()?;
        read.context(config::SYNC_IMAGE)?;
        Ok(Picture {
            acks,
            virtio: virtio?,
            sync,
        })
    }

    /// The host behind virtio-pmem, where its flushes are watched.
    pub fn host(&self) -> Result<Arc<Host>> {
        self.host.clone().context("flushes are not watched")
    }

    /// Switches the machine off in an orderly way.
    pub fn power_off(mut self) -> Result<()> {
        self.channel.send(Cmd::Poweroff)?;
        let deadline = Instant::now() + POWER_OFF * self.patience;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the machine did not switch off within {POWER_OFF:?}");
            }
            sleep(Duration::from_millis(5));
        }
        self.console.check()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

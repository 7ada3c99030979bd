// SPDX-License-Identifier: GPL-2.0
//! What a machine is made of, and QEMU's command line for it.

use clap::ValueEnum;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Sizes in MiB. The synchronous device is the RAM of the second NUMA node,
/// which the kernel is told to treat as persistent memory. The firmware keeps
/// its tables at the end of RAM: a third node has to be there, or they would lie
/// in the device.
pub const RAM_MIB: u64 = 1024;
pub const SYNC_MIB: u64 = 512;
const TOP_MIB: u64 = 64;
pub const VIRTIO_MIB: u64 = 256;
pub const DISK_MIB: u64 = 192;

/// Where the virtio-pmem device is in the guest: where QEMU puts the first such
/// device of a machine of this size, and so that others can know.
pub const VIRTIO_ADDRESS: u64 = 4 << 30;

/// Files of a machine, in its working directory.
pub const SYNC_IMAGE: &str = "sync.img";
pub const VIRTIO_IMAGE: &str = "virtio.img";
pub const DISK_IMAGE: &str = "disk.img";
pub const NVME_IMAGE: &str = "nvme.img";

/// The disks: what each holds; what it held when the machine was started, and what
/// was written to it since.
pub const DISKS: [[&str; 3]; 2] = [
    [DISK_IMAGE, "disk.base", "disk.log"],
    [NVME_IMAGE, "nvme.base", "nvme.log"],
];
pub const SOCKET: &str = "channel.sock";
pub const CONSOLE: &str = "console.log";
pub const QEMU_LOG: &str = "qemu.log";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    Tcg,
    Kvm,
}

/// A root filesystem that the initramfs mounts and goes over to.
#[derive(Debug, Clone)]
pub struct Root {
    /// Its mount options.
    pub flags: String,
}

/// Label of the root's filesystem (scripts/testroot), and the agent's place there.
const ROOT_LABEL: &str = "bytelog-root";
const ROOT_INIT: &str = "/usr/sbin/bytelog-guest";

#[derive(Debug, Clone)]
pub struct VmConfig {
    pub kernel: PathBuf,
    pub initramfs: PathBuf,
    pub accel: Accel,
    pub cpus: u32,
    /// Deterministic instruction counting (`-icount shift=N`), one CPU.
    pub icount: Option<u8>,
    /// A second disk, which makes untorn writes.
    pub nvme: bool,
    /// A plugin with its arguments, for QEMU's own code generator.
    pub plugin: Option<String>,
    /// Size of the virtio-pmem device.
    pub virtio_mib: u64,
    /// Size of the disk; what was never written to takes no room on the host.
    pub disk_mib: u64,
    /// The virtio-pmem device's contents in the host's memory only, instead of a file on its disk.
    pub virtio_memory: bool,
    /// Watch what the host is asked to flush, so that a cut discards the rest.
    /// Each flush costs a copy of the device, which should be small.
    pub watch_flushes: bool,
    /// Let the agent map the synchronous device's memory.
    pub raw_memory: bool,
    /// Images of further disks, which are only read.
    pub read_only: Vec<PathBuf>,
    /// How many times as long as usual to wait for anything: a kernel that watches
    /// itself is slow.
    pub patience: u32,
    /// A shell on the terminal instead of the protocol; the value is the one
    /// for dax_fc_bytelog.
    pub shell: Option<String>,
    /// A root on virtio-pmem; without one the initramfs is the root.
    pub root: Option<Root>,
}

impl VmConfig {
    /// The files behind the disks that the machine has.
    pub fn disks(&self) -> &'static [[&'static str; 3]] {
        &DISKS[..1 + usize::from(self.nvme)]
    }

    fn cmdline(&self) -> String {
        let mut words = vec![
            "console=ttyS0".to_owned(),
            // Emulated processors stand still for long on a loaded host.
            "watchdog_thresh=60".to_owned(),
            // Warnings and worse on the console: what a test is failed for.
            "loglevel=5".to_owned(),
            "oops=panic".to_owned(),
            "panic=-1".to_owned(),
            // On a host with more to do the emulated timer can be late, which the
            // kernel takes for a board that has none.
            "no_timer_check".to_owned(),
            format!(
                "sysctl.kernel.hung_task_timeout_secs={}",
                40 * self.patience
            ),
            format!("memmap={SYNC_MIB}M!{RAM_MIB}M"),
        ];
        if self.icount.is_some() {
            // Huge pages are put together by a thread of the kernel now and then.
            let same_each_time = ["nokaslr", "norandmaps", "transparent_hugepage=never"];
            words.extend(same_each_time.map(str::to_owned));
        }
        if self.raw_memory {
            words.push("iomem=relaxed".to_owned());
        }
        if let Some(option) = &self.shell {
            words.push(format!("bytelog.shell={option}"));
        }
        if let Some(root) = &self.root {
            words.push(format!("root=LABEL={ROOT_LABEL} ro init={ROOT_INIT}"));
            if !root.flags.is_empty() {
                words.push(format!("rootflags={}", root.flags));
            }
        }
        words.join(" ")
    }

    /// The command that starts the machine, to be run in its working directory.
    pub fn command(&self) -> Command {
        let mut qemu = Command::new("qemu-system-x86_64");
        let mut arg = |line: &str| {
            qemu.args(line.split_whitespace());
        };
        arg("-nodefaults -no-user-config -display none -no-reboot -nic none -monitor none");
        match (self.accel, self.icount) {
            (_, Some(shift)) => {
                arg("-machine q35 -accel tcg,thread=single -smp 1 -cpu max,-rdrand,-rdseed");
                arg(&format!("-icount shift={shift},sleep=off -seed 7"));
                arg("-rtc base=2026-01-01T00:00:00,clock=vm");
            }
            (Accel::Tcg, None) => {
                arg("-machine q35 -accel tcg -cpu max");
                arg(&format!("-smp {}", self.cpus));
            }
            (Accel::Kvm, None) => {
                arg("-machine q35 -accel kvm -cpu host");
                arg(&format!("-smp {}", self.cpus));
            }
        }
        let total = RAM_MIB + SYNC_MIB + TOP_MIB;
        arg(&format!("-m {total}M,slots=2,maxmem={}M", 2 * total));
        arg(&format!(
            "-object memory-backend-ram,id=ram,size={RAM_MIB}M"
        ));
        arg(&format!(
            "-object memory-backend-file,id=sync,share=on,size={SYNC_MIB}M,mem-path={SYNC_IMAGE}"
        ));
        arg(&format!(
            "-object memory-backend-ram,id=top,size={TOP_MIB}M"
        ));
        for (node, memory) in ["ram", "sync", "top"].iter().enumerate() {
            arg(&format!("-numa node,nodeid={node},memdev={memory}"));
        }
        let backend = match self.virtio_memory {
            true => "memory-backend-memfd".to_owned(),
            false => format!("memory-backend-file,mem-path={VIRTIO_IMAGE}"),
        };
        arg(&format!(
            "-object {backend},id=async,share=on,size={}M",
            self.virtio_mib
        ));
        arg(&format!(
            "-device virtio-pmem-pci,memdev=async,memaddr={VIRTIO_ADDRESS}"
        ));
        for (i, [image, _, log]) in self.disks().iter().enumerate() {
            // Every write is noted, so that a cut can take back what was not flushed.
            arg(&format!(
                "-blockdev driver=blklogwrites,node-name=disk{i},file.driver=file,\
                 file.filename={image},file.cache.no-flush=on,log.driver=file,\
                 log.filename={log},log.cache.no-flush=on"
            ));
        }
        // Merged by QEMU, requests can have as many pieces as the host takes in a call,
        // and blklogwrites adds two of its own: the write would fail.
        arg("-device virtio-blk-pci,drive=disk0,request-merging=off");
        if self.nvme {
            // A logical block, which is what NVMe never tears, is a page.
            arg("-device nvme,serial=bytelog,drive=disk1,logical_block_size=4096,physical_block_size=4096");
        }
        for (i, image) in self.read_only.iter().enumerate() {
            arg(&format!(
                "-blockdev driver=raw,node-name=more{i},read-only=on,file.driver=file,file.filename={}",
                image.display()
            ));
            arg(&format!("-device virtio-blk-pci,drive=more{i}"));
        }
        if let Some(plugin) = &self.plugin {
            arg(&format!("-plugin {plugin}"));
        }
        if self.shell.is_some() {
            arg("-serial mon:stdio");
        } else {
            arg(&format!("-serial file:{CONSOLE}"));
            arg(&format!("-chardev socket,id=port,path={SOCKET}"));
            arg("-device virtio-serial-pci");
            arg(&format!(
                "-device virtserialport,chardev=port,name={}",
                bytelog_guest::proto::PORT
            ));
            qemu.stdin(Stdio::null());
        }
        qemu.arg("-kernel").arg(&self.kernel);
        qemu.arg("-initrd").arg(&self.initramfs);
        qemu.arg("-append").arg(self.cmdline());
        qemu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let mut config = VmConfig {
            kernel: "k".into(),
            initramfs: "i".into(),
            accel: Accel::Tcg,
            cpus: 2,
            icount: None,
            nvme: false,
            plugin: None,
            virtio_mib: VIRTIO_MIB,
            disk_mib: DISK_MIB,
            virtio_memory: false,
            watch_flushes: false,
            patience: 1,
            raw_memory: false,
            read_only: Vec::new(),
            shell: None,
            root: None,
        };
        let text = format!("{:?}", config.command());
        assert!(text.contains("memmap=512M!1024M"), "{text}");
        assert!(!text.contains("icount"), "{text}");
        config.icount = Some(0);
        let text = format!("{:?}", config.command());
        assert!(
            text.contains("shift=0,sleep=off") && text.contains("nokaslr"),
            "{text}"
        );
    }
}

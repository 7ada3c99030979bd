// SPDX-License-Identifier: GPL-2.0

//! Where devices are mounted.

use std::collections::HashMap;
use std::fs::read_to_string;
use std::path::Path;

/// Mount points by the number of their device, `major:minor`. Of several the first.
pub struct Mounts(HashMap<String, String>);

impl Mounts {
    /// Those that this process sees; none, if that cannot be told.
    pub fn read(root: &Path) -> Self {
        let text = read_to_string(root.join("proc/self/mountinfo"));
        Self::parse(&text.unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut mounts = HashMap::new();
        for line in text.lines() {
            let mut words = line.split(' ').skip(2);
            if let (Some(number), Some(_), Some(point)) = (words.next(), words.next(), words.next())
            {
                let point = point.replace("\\040", " ");
                mounts.entry(number.to_owned()).or_insert(point);
            }
        }
        Self(mounts)
    }

    /// Where the device is mounted that the kernel calls `device`.
    pub fn point(&self, root: &Path, device: &str) -> Option<&str> {
        // Names of some drivers have slashes, which are no part of a file's name.
        let dir = root.join("sys/class/block").join(device.replace('/', "!"));
        let number = read_to_string(dir.join("dev")).ok()?;
        self.0.get(number.trim()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points() {
        let text = "\
22 1 0:5 / /dev rw - devtmpfs devtmpfs rw
30 1 259:0 / /mnt/a\\040b rw,relatime shared:1 - ext4 /dev/pmem0 rw
31 1 259:0 /sub /srv rw - ext4 /dev/pmem0 rw
";
        let mounts = Mounts::parse(text);
        assert_eq!(mounts.0["259:0"], "/mnt/a b");
        assert_eq!(mounts.0.len(), 2);
    }
}

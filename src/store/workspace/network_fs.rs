//! Detection of network file systems, whose locks and renames cannot be relied on.

use crate::core::fault::Result;
use crate::store::fs::At;
use std::path::Path;

/// The name of the network file system that contains `path`; `None` on a local one.
pub(super) fn kind(path: &Path) -> Result<Option<&'static str>> {
    let kind = rustix::fs::statfs(path).at("look at", path)?.f_type;
    Ok(name(u32::try_from(kind & 0xffff_ffff).unwrap_or_default()))
}

/// The name of a network file system by its magic number (`statfs(2)` and `linux/magic.h`).
fn name(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xff53_4d42 => "CIFS",
        0xfe53_4d42 => "SMB2",
        0x0102_1997 => "9P",
        0x00c3_6400 => "Ceph",
        0x5346_414f => "AFS",
        0x7375_7245 => "Coda",
        0x0bd0_0bd0 => "Lustre",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_recognised_and_local_ones_are_not() {
        assert_eq!(name(0x6969), Some("NFS"));
        assert_eq!(name(0xfe53_4d42), Some("SMB2"));
        for local in [0xef53, 0x5846_5342, 0x0102_1994, 0x9123_683e, 0x2fc1_2fc1, 0x794c_7630] {
            assert_eq!(name(local), None);
        }
    }
}

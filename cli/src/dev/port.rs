//! A port that is in use: who has it, and which one is free.

use std::net::{Ipv4Addr, TcpListener};

/// How many ports are tried after the one that was wanted.
const TRIES: u16 = 50;

/// The next free port on loopback.
#[must_use]
pub(super) fn next_free(after: u16) -> Option<u16> {
    (1..=TRIES).filter_map(|more| after.checked_add(more)).find(|port| is_free(*port))
}

/// Whether it can be listened on.
#[must_use]
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The program that listens on it, where the system tells: `node (process 4711)`.
#[must_use]
pub(super) fn holder(port: u16) -> Option<String> {
    let socket = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .find_map(|table| listening(&table, port))?;
    let socket = format!("socket:[{socket}]");
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = std::fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| {
            std::fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == socket.as_str())
        })?;
        let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{} (process {pid})", name.trim()))
    })
}

/// The inode of the socket that listens on the port, by the kernel's table.
fn listening(table: &str, port: u16) -> Option<String> {
    /// `TCP_LISTEN`.
    const LISTEN: &str = "0A";
    let port = format!(":{port:04X}");
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next()?;
        let state = fields.nth(1)?;
        (local.ends_with(&port) && state == LISTEN).then(|| fields.nth(5).map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_who_listens() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:0BB8 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 111 1\n   \
                     1: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1";
        assert_eq!(listening(table, 3000).as_deref(), Some("222"));
        assert_eq!(listening(table, 3001), None);
    }

    #[test]
    fn a_port_that_is_taken_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        assert_ne!(next_free(port - 1), Some(port));
    }
}

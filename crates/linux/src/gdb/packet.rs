//! Packets of gdb's remote protocol: framing, checksums, hexadecimal, escapes (GDB manual, appendix E).

use std::io::{Error, ErrorKind, Read, Result, Write};

/// What arrives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Incoming {
    /// A packet's contents, with escapes taken out.
    Packet(Vec<u8>),
    /// Ctrl-C.
    Interrupt,
}

/// A connection. Bytes that belong to the next packet wait in it.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    buffer: Vec<u8>,
    /// Packets are not acknowledged any more (QStartNoAckMode).
    pub no_ack: bool,
}

/// Longest packet that is taken.
pub const LIMIT: usize = 0x8000;

impl<S: Read + Write> Connection<S> {
    /// A connection over a stream.
    pub fn new(stream: S) -> Connection<S> {
        Connection { stream, buffer: Vec::new(), no_ack: false }
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Whether something can be taken without reading.
    pub fn has_more(&self) -> bool {
        self.buffer.iter().any(|&b| b == b'$' || b == 3)
    }

    fn byte(&mut self) -> Result<u8> {
        if self.buffer.is_empty() {
            let mut chunk = [0; 4096];
            let n = self.stream.read(&mut chunk)?;
            if n == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.buffer.extend_from_slice(&chunk[..n]);
        }
        Ok(self.buffer.remove(0))
    }

    /// The next packet or interrupt.
    ///
    /// # Errors
    /// Those of the stream; its end, too.
    pub fn receive(&mut self) -> Result<Incoming> {
        loop {
            match self.byte()? {
                3 => return Ok(Incoming::Interrupt),
                b'$' => {}
                _ => continue,
            }
            let (mut body, mut sum) = (Vec::new(), 0u8);
            loop {
                let byte = self.byte()?;
                if byte == b'#' {
                    break;
                }
                sum = sum.wrapping_add(byte);
                body.push(byte);
                if body.len() > 2 * LIMIT {
                    return Err(Error::other("packet too long"));
                }
            }
            let check = [self.byte()?, self.byte()?];
            let is_good = unhex(&check).is_some_and(|c| c == [sum]);
            if !self.no_ack {
                self.stream.write_all(if is_good { b"+" } else { b"-" })?;
            }
            if is_good || self.no_ack {
                return Ok(Incoming::Packet(unescape(&body)));
            }
        }
    }

    /// Sends a packet. Escapes are put in.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn send(&mut self, body: &[u8]) -> Result<()> {
        let mut packet = vec![b'$'];
        for &byte in body {
            if matches!(byte, b'$' | b'#' | b'}' | b'*') {
                packet.extend([b'}', byte ^ 0x20]);
            } else {
                packet.push(byte);
            }
        }
        let sum = packet[1..].iter().fold(0u8, |sum, &b| sum.wrapping_add(b));
        packet.extend(format!("#{sum:02x}").bytes());
        self.stream.write_all(&packet)
    }
}

fn unescape(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut bytes = body.iter();
    while let Some(&byte) = bytes.next() {
        out.push(if byte == b'}' { bytes.next().map_or(byte, |b| b ^ 0x20) } else { byte });
    }
    out
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes that hexadecimal digits stand for.
pub fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| (b as char).to_digit(16);
    (text.len() % 2 == 0).then_some(())?;
    text.chunks_exact(2).map(|p| Some((digit(p[0])? << 4 | digit(p[1])?) as u8)).collect()
}

/// A hexadecimal number.
pub fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pipe(std::io::Cursor<Vec<u8>>, Vec<u8>);
    impl Read for Pipe {
        fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
            self.0.read(buf)
        }
    }
    impl Write for Pipe {
        fn write(&mut self, buf: &[u8]) -> Result<usize> {
            self.1.extend_from_slice(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn packets_go_round() {
        let mut out = Connection::new(Pipe(Default::default(), Vec::new()));
        out.send(b"a$b#c}d*e").unwrap();
        let mut wire = b"+\x03$g#00".to_vec();
        wire.extend(&out.stream.1);
        let mut back = Connection::new(Pipe(std::io::Cursor::new(wire), Vec::new()));
        assert_eq!(back.receive().unwrap(), Incoming::Interrupt);
        assert_eq!(back.receive().unwrap(), Incoming::Packet(b"a$b#c}d*e".to_vec()));
        assert_eq!(back.stream.1, b"-+");
        assert!(back.receive().is_err());
    }

    #[test]
    fn digits() {
        assert_eq!(hex(&[0, 0xaf]), "00af");
        assert_eq!(unhex(b"00aF"), Some(vec![0, 0xaf]));
        assert_eq!((unhex(b"0"), unhex(b"0g"), number("1f")), (None, None, Some(31)));
    }
}

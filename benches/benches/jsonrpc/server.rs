//! A server that answers each request as soon as it is there, from a thread of its own.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
};

use crate::Result;

/// The answer to a request, with its id.
fn answer(request: &[u8]) -> Vec<u8> {
    let at = memchr::memmem::rfind(request, b"\"id\":").map_or(0, |at| at + 5);
    let id = request.get(at..).unwrap_or_default();
    let digits = id.iter().take_while(|it| it.is_ascii_digit()).count();
    let id = String::from_utf8_lossy(id.get(..digits).unwrap_or_default()).into_owned();
    // As Kamailio writes it.
    format!(
        "{{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"result\":\t{{\n\t\t\"starting\":\t0,\n\t\t\"connecting\":\t0,\n\t\t\
         \"answering\":\t0,\n\t\t\"ongoing\":\t3,\n\t\t\"all\":\t3\n\t}},\n\t\"id\":\t{id}\n}}"
    )
    .into_bytes()
}

pub(crate) fn udp() -> Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let said = answer(buffer.get(..length).unwrap_or_default());
            if socket.send_to(&said, from).is_err() {
                return;
            }
        }
    });
    Ok(address)
}

pub(crate) fn http() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            thread::spawn(move || serve(socket));
        }
    });
    Ok(address)
}

/// Clients send a request in one write and wait for its answer.
fn serve(mut socket: TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let (mut buffer, mut kept) = ([0; 65_536], Vec::new());
    loop {
        let read = socket.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if !kept.ends_with(b"}") {
            continue;
        }
        let body = answer(&kept);
        let mut said = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        said.extend_from_slice(&body);
        socket.write_all(&said)?;
        kept.clear();
    }
}

//! Answers that are read piece by piece.

use super::*;

#[test]
fn a_stream_is_read_as_it_comes_and_looked_at_without_waiting() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let (client, server) = serve(
        move |mut stream, _| {
            take_request(&mut stream).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r")
                .unwrap();
            gone.lock().unwrap().recv().unwrap();
            stream.write_all(b"\ntwo\r\n0\r\n\r\n").unwrap();
        },
        1,
    );
    let mut stream = client.open(&call(), &get("/")).unwrap();
    assert_eq!(stream.status, 200);
    let mut buf = [0; 16];
    assert_eq!(stream.read(&call(), &mut buf).unwrap(), 3);
    assert_eq!(stream.try_read(&mut buf).unwrap(), None);
    let hasty = call().within(Duration::from_millis(20));
    assert!(matches!(stream.read(&hasty, &mut buf), Err(Failure::TimedOut)));
    assert_eq!(stream.try_read(&mut buf).unwrap(), None);
    go.send(()).unwrap();
    assert_eq!(stream.read(&call(), &mut buf).unwrap(), 3);
    assert_eq!(&buf[..3], b"two");
    assert_eq!(stream.read(&call(), &mut buf).unwrap(), 0);
    assert_eq!(stream.try_read(&mut buf).unwrap(), Some(0));
    server.join().unwrap();
}

#[test]
fn a_stream_takes_no_connection_from_the_pool_and_leaves_none() {
    let (client, server) = serve(
        |mut stream, number| {
            take_request(&mut stream).unwrap();
            stream.write_all(OK).unwrap();
            // The first is idle while the others come; a client that kept the second would be waited for here.
            if number == 1 {
                assert!(take_request(&mut stream).is_none());
            } else {
                thread::spawn(move || hold(stream));
            }
        },
        2,
    );
    client.send(&call(), &get("/")).unwrap();
    let mut stream = client.open(&call(), &get("/")).unwrap();
    let mut body = [0; 8];
    assert_eq!(stream.read(&call(), &mut body).unwrap(), 2);
    assert_eq!(stream.read(&call(), &mut body).unwrap(), 0);
    server.join().unwrap();
}

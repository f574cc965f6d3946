//! One file, and everything that can go wrong on its way.

use crate::server::{
    Answer, Server, confused_by_ranges, cut, dripping, of_unknown_length, redirect, stall, status, whole,
    without_ranges,
};
use gaat_data::OfficialFile;
use gaat_fetch::{Error, Patience, Progress, Result, download};
use gaat_files::digest_of_file;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const NAME: &str = "data.bin";
const LENGTH: usize = 300_000;

/// Long enough for several reads, and without a period that would hide a part in the wrong place.
fn content() -> Vec<u8> {
    (0..LENGTH as u64).map(|index| (index * index / 7) as u8).collect()
}

/// A folder to download to, and the file that belongs there.
struct Place {
    folder: tempfile::TempDir,
    file: OfficialFile,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sample = folder.path().join("sample");
        fs_err::write(&sample, content()).unwrap();
        let sha256 = digest_of_file(&sample).unwrap().leak();
        fs_err::remove_file(sample).unwrap();
        Self { folder, file: OfficialFile { name: NAME, bytes: LENGTH as u64, sha256 } }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn leave_part(&self, bytes: &[u8]) {
        fs_err::write(self.path("data.bin.part"), bytes).unwrap();
    }

    fn part(&self) -> Vec<u8> {
        fs_err::read(self.path("data.bin.part")).unwrap()
    }

    fn download(&self, servers: &[&Server]) -> Result<Option<String>> {
        let bases: Vec<&str> = servers.iter().map(|server| server.base()).collect();
        let patience = Patience {
            stall: Duration::from_millis(300),
            pause: Duration::from_millis(1),
            rounds: 2,
            silence: Duration::from_secs(20),
        };
        download(&self.file, self.folder.path(), &bases, &patience, &mut |_| ControlFlow::Continue(()))
    }

    /// Downloads and insists on the whole file and nothing beside it; returns the address.
    fn expect_whole(&self, servers: &[&Server]) -> String {
        let url = self.download(servers).unwrap().unwrap();
        assert_eq!(fs_err::read(self.path(NAME)).unwrap(), content());
        assert_eq!(fs_err::read_dir(self.folder.path()).unwrap().count(), 1, "no part is left");
        url
    }

    /// Downloads and insists on a failure that leaves no file; returns its message.
    fn expect_failure(&self, servers: &[&Server]) -> String {
        let error = self.download(servers).unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{error}");
        assert!(!self.path(NAME).exists());
        error.to_string()
    }
}

fn serving(answer: Answer) -> Server {
    Server::new(vec![answer])
}

#[test]
fn the_first_source_that_has_the_file_is_the_last_one_asked() {
    let (first, second) = (serving(whole(&content())), serving(whole(&content())));
    let place = Place::new();
    let url = place.expect_whole(&[&first, &second]);
    assert_eq!(url, format!("{}/{NAME}", first.base()));
    assert_eq!((first.requests(), second.requests()), (vec!["/data.bin".to_owned()], vec![]));
    // What is there is not asked for again.
    assert_eq!(place.download(&[&first]).unwrap(), None);
    assert_eq!(first.requests().len(), 1);
}

#[test]
fn a_connection_that_is_cut_is_gone_on_from_at_the_next_source() {
    let (first, second) = (serving(cut(&content(), 100_000)), serving(whole(&content())));
    Place::new().expect_whole(&[&first, &second]);
    assert_eq!(second.requests(), ["/data.bin bytes=100000-"]);
}

#[test]
fn a_single_source_is_asked_again_as_long_as_it_brings_something() {
    let server = serving(cut(&content(), 60_000));
    Place::new().expect_whole(&[&server]);
    let starts = ["", " bytes=60000-", " bytes=120000-", " bytes=180000-", " bytes=240000-"];
    assert_eq!(server.requests(), starts.map(|start| format!("/data.bin{start}")));
}

#[test]
fn a_server_that_stalls_is_left() {
    let (first, second) = (serving(stall(&content(), 50_000)), serving(whole(&content())));
    Place::new().expect_whole(&[&first, &second]);
    assert_eq!(second.requests(), ["/data.bin bytes=50000-"]);
}

#[test]
fn a_server_that_never_brings_more_is_given_up_and_its_part_kept() {
    let server = Server::new(vec![cut(&content(), 70_000), cut(&content(), 0)]);
    let place = Place::new();
    let message = place.expect_failure(&[&server]);
    assert!(message.contains("broke off after 70000 of 300000 bytes"), "{message}");
    assert!(message.contains("70000 bytes are kept") && message.contains("mirror"), "{message}");
    assert_eq!(fs_err::metadata(place.path("data.bin.part")).unwrap().len(), 70_000);
    let good = serving(whole(&content()));
    place.expect_whole(&[&good]);
    assert_eq!(good.requests(), ["/data.bin bytes=70000-"]);
}

#[test]
fn a_server_without_ranges_sends_all_of_it_again() {
    let place = Place::new();
    place.leave_part(&content()[..90_000]);
    let server = serving(without_ranges(&content()));
    place.expect_whole(&[&server]);
    assert_eq!(server.requests(), ["/data.bin bytes=90000-"]);
}

#[test]
fn what_has_arrived_outlives_answers_that_are_not_the_rest() {
    let page = b"<html>please log in</html>";
    let too_much = [content(), vec![0; 10]].concat();
    let answers = [
        (without_ranges(page), "offers 26 bytes where 300000 are expected"),
        (of_unknown_length(page), "broke off after 26 of 300000 bytes"),
        (of_unknown_length(&content()[..50_000]), "broke off after 50000 of 300000 bytes"),
        (of_unknown_length(&too_much), "more than the expected 300000"),
        (confused_by_ranges(page, "416 Range Not Satisfiable", ""), "offers 26 bytes where 300000"),
        (
            confused_by_ranges(page, "206 Partial Content", "Content-Range: bytes 0-9/26\r\n"),
            "offers 26 bytes",
        ),
    ];
    for (answer, expected) in answers {
        let place = Place::new();
        place.leave_part(&content()[..90_000]);
        let message = place.expect_failure(&[&serving(answer)]);
        assert!(message.contains(expected) && message.contains("90000 bytes are kept"), "{message}");
        assert!(place.part() == content()[..90_000], "{expected}");
        let good = serving(whole(&content()));
        place.expect_whole(&[&good]);
        assert_eq!(good.requests(), ["/data.bin bytes=90000-"]);
    }
}

#[test]
fn a_server_that_is_confused_by_ranges_is_asked_for_the_whole() {
    for (line, headers) in [
        ("416 Range Not Satisfiable", "Content-Range: bytes */300000\r\n"),
        ("206 Partial Content", "Content-Range: bytes 0-299999/300000\r\n"),
        ("206 Partial Content", ""),
    ] {
        let place = Place::new();
        place.leave_part(&content()[..90_000]);
        let server = serving(confused_by_ranges(&content(), line, headers));
        place.expect_whole(&[&server]);
        assert_eq!(server.requests(), ["/data.bin bytes=90000-", "/data.bin"]);
    }
}

#[test]
fn any_patience_comes_to_an_end() {
    let server = serving(status("503 Service Unavailable"));
    let place = Place::new();
    let patience = Patience { pause: Duration::ZERO, rounds: 40, ..Patience::default() };
    let error = download(&place.file, place.folder.path(), &[server.base()], &patience, &mut |_| {
        ControlFlow::Continue(())
    });
    assert!(matches!(error, Err(Error::Failed { .. })), "{error:?}");
    assert_eq!(server.requests().len(), 40);
}

/// However the connection is kept busy: by a promise of bytes, by a byte of it at a time, by headers without end.
#[test]
fn a_server_that_promises_and_sends_nothing_is_given_up_in_time() {
    let silence = Duration::from_millis(600);
    let patience =
        Patience { silence, rounds: 1000, pause: Duration::from_millis(10), ..Patience::default() };
    let answers: [fn() -> Answer; 4] = [
        || dripping("Transfer-Encoding: chunked\r\n\r\n1000\r\n", ""),
        || dripping("Transfer-Encoding: chunked\r\n\r\n0\r\n", "x: y\r\n"),
        || dripping("", "x: y\r\n"),
        || stall(&content(), 0),
    ];
    for answer in answers {
        let (server, place) = (serving(answer()), Place::new());
        let begun = Instant::now();
        let error = download(&place.file, place.folder.path(), &[server.base()], &patience, &mut |_| {
            ControlFlow::Continue(())
        });
        let message = error.unwrap_err().to_string();
        assert!(message.contains("Given up, since no new byte came for 0.6 s."), "{message}");
        assert!((silence..silence * 4).contains(&begun.elapsed()), "{:?}: {message}", begun.elapsed());
        assert!(!place.path("data.bin.part").exists());
    }
    // All of the time is not spent on the first source.
    let (silent, good) = (serving(stall(&content(), 0)), serving(whole(&content())));
    let (place, bases) = (Place::new(), [silent.base(), good.base()]);
    download(&place.file, place.folder.path(), &bases, &patience, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!(fs_err::read(place.path(NAME)).unwrap(), content());
}

#[cfg(unix)]
#[test]
fn nothing_is_written_through_a_link_in_the_place_of_the_part() {
    let server = serving(whole(&content()));
    for link in [std::os::unix::fs::symlink as fn(PathBuf, PathBuf) -> _, fs_err::hard_link] {
        let place = Place::new();
        fs_err::write(place.path("theirs"), "theirs").unwrap();
        link(place.path("theirs"), place.path("data.bin.part")).unwrap();
        let message = place.download(&[&server]).unwrap_err().to_string();
        assert!(message.contains("data.bin.part: ") && message.contains(" link"), "{message}");
        assert_eq!(fs_err::read(place.path("theirs")).unwrap(), b"theirs");
        assert!(!place.path(NAME).exists());
    }
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn other_bytes_are_refused_and_not_kept() {
    let mut other = content();
    other[LENGTH / 2] ^= 1;
    let (wrong, right) = (serving(whole(&other)), serving(whole(&content())));
    let place = Place::new();
    let message = place.expect_failure(&[&wrong]);
    assert!(message.contains("sent another file") && message.contains(place.file.sha256), "{message}");
    assert!(!place.path("data.bin.part").exists());
    assert_eq!(wrong.requests().len(), 1, "it would send the same again");
    let url = place.expect_whole(&[&wrong, &right]);
    assert!(url.starts_with(right.base()));
}

#[test]
fn a_part_that_does_not_fit_is_thrown_away() {
    for part in [vec![7; 90_000], vec![7; LENGTH], vec![7; LENGTH + 1]] {
        let place = Place::new();
        place.leave_part(&part);
        place.expect_whole(&[&serving(whole(&content()))]);
    }
}

#[test]
fn a_part_that_is_whole_needs_no_server() {
    let place = Place::new();
    place.leave_part(&content());
    let server = serving(status("500 Internal Server Error"));
    place.expect_whole(&[&server]);
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn refusals_are_listed_and_lasting_ones_asked_once() {
    let absent = serving(status("404 Not Found"));
    let busy = serving(status("503 Service Unavailable"));
    let message = Place::new().expect_failure(&[&absent, &busy]);
    assert!(message.contains(&format!("{}/data.bin: 404 Not Found", absent.base())), "{message}");
    assert!(message.contains(&format!("{}/data.bin: 503", busy.base())), "{message}");
    assert_eq!((absent.requests().len(), busy.requests().len()), (1, 2));
}

#[test]
fn a_page_in_place_of_the_file_is_known_by_its_length() {
    let offering = serving(whole(b"<html>please log in</html>"));
    let message = Place::new().expect_failure(&[&offering]);
    assert!(message.contains("offers 26 bytes where 300000 are expected"), "{message}");
    let endless = [content(), vec![0; 10]].concat();
    let message = Place::new().expect_failure(&[&serving(of_unknown_length(&endless))]);
    assert!(message.contains("more than the expected 300000"), "{message}");
    Place::new().expect_whole(&[&serving(of_unknown_length(&content()))]);
}

#[test]
fn redirections_are_followed() {
    let target = serving(whole(&content()));
    let server = serving(redirect(format!("{}/elsewhere", target.base())));
    Place::new().expect_whole(&[&server]);
    assert_eq!(target.requests(), ["/elsewhere"]);
}

#[test]
fn nobody_listening_is_a_setback_like_any_other() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let place = Place::new();
    let patience = Patience { pause: Duration::from_millis(1), ..Patience::default() };
    let bases = [closed.as_str(), "no address at all"];
    let error =
        download(&place.file, place.folder.path(), &bases, &patience, &mut |_| ControlFlow::Continue(()));
    let message = error.unwrap_err().to_string();
    assert!(message.contains(&closed) && message.contains("no address at all"), "{message}");
}

#[test]
fn another_file_of_that_name_is_left_alone() {
    let place = Place::new();
    fs_err::write(place.path(NAME), "mine").unwrap();
    let server = serving(whole(&content()));
    let error = place.download(&[&server]).unwrap_err();
    assert!(matches!(error, Error::Taken { .. }) && error.to_string().contains("data directory"), "{error}");
    assert_eq!(fs_err::read(place.path(NAME)).unwrap(), b"mine");
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn whoever_breaks_off_can_go_on_and_two_never_write_at_once() {
    let place = Place::new();
    let server = serving(whole(&content()));
    let other = serving(whole(&content()));
    let patience = Patience::default();
    let mut received = 0;
    let mut observer = |progress: &Progress<'_>| {
        let Progress::Received { bytes, .. } = progress else { return ControlFlow::Continue(()) };
        received = *bytes;
        let error = place.download(&[&other]).unwrap_err();
        assert!(matches!(error, Error::Busy { .. }), "{error}");
        ControlFlow::Break(())
    };
    let error = download(&place.file, place.folder.path(), &[server.base()], &patience, &mut observer);
    assert!(matches!(error, Err(Error::Interrupted)));
    assert_eq!(fs_err::metadata(place.path("data.bin.part")).unwrap().len(), received);
    assert!(0 < received && received < LENGTH as u64, "{received}");
    place.expect_whole(&[&server]);
    assert_eq!(server.requests()[1], format!("/data.bin bytes={received}-"));
}

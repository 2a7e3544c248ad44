//! Killed at every request of a decommission, before it arrives or before its
//! answer does, and run again: the same end, and nothing that is not asked for.

use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::{House, says};
use crate::support::Folder;

/// Stands between the program and the tenant, and ends the program at a request.
#[derive(Default)]
struct Between {
    tenant: Mutex<String>,
    /// How many more requests pass; the one after that does not come back.
    left: AtomicI64,
    /// True: that one arrives, and its answer does not.
    arrives: AtomicBool,
    process: AtomicU32,
}

impl Between {
    /// Listens, and tells where.
    fn start() -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let between = Arc::new(Self { left: AtomicI64::new(i64::MAX), ..Self::default() });
        let own = between.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let own = own.clone();
                std::thread::spawn(move || own.carry(client));
            }
        });
        (between, url)
    }

    fn carry(&self, mut client: TcpStream) {
        let Ok(mut tenant) = TcpStream::connect(self.tenant.lock().unwrap().as_str()) else { return };
        let (mut answers, mut back) = (tenant.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut answers, &mut back);
            let _ = back.shutdown(Shutdown::Both);
        });
        let mut bytes = [0; 1 << 16];
        while let Ok(read @ 1..) = client.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..read]);
            let is_request = text.contains(" HTTP/1.1\r\n") && !text.contains(" /_sim/");
            let is_last = is_request && self.left.fetch_sub(1, Ordering::SeqCst) <= 0;
            if is_last && !self.arrives.load(Ordering::SeqCst) {
                {
                    self.kill();
                    break;
                }
            }
            if tenant.write_all(&bytes[..read]).is_err() {
                break;
            }
            if is_last {
                // Its effect is there well before this.
                std::thread::sleep(std::time::Duration::from_millis(30));
                {
                    self.kill();
                    break;
                }
            }
        }
        let _ = tenant.shutdown(Shutdown::Both);
    }

    fn kill(&self) {
        let process = self.process.swap(0, Ordering::SeqCst);
        if process != 0 {
            let _ = std::process::Command::new("kill").args(["-9", &process.to_string()]).status();
        }
    }
}

#[test]
fn a_decommission_that_is_killed_anywhere_goes_on_where_it_stopped() {
    let (between, url) = Between::start();
    let house = House::declared("", |served| {
        *between.tenant.lock().unwrap() = served.strip_prefix("http://").unwrap().to_owned();
        url
    });
    assert_eq!(house.run("apply . --auto-approve").code, 0);
    house.enrols("TEST-OSL-003");
    house.undeclare("TEST-OSL-003");
    let tenant = house.ask("GET", "/_sim/state", "").to_string();
    let state = Folder::copy_of(house.desk.state.path());
    let words = "decommission TEST-OSL-003 --auto-approve";
    let mut kills = 0;
    for at in 0.. {
        house.ask("POST", "/_sim/state", &tenant);
        std::fs::remove_dir_all(house.desk.state.path()).unwrap();
        for path in state.files() {
            house.desk.state.write(path.strip_prefix(state.path()).unwrap(), std::fs::read(&path).unwrap());
        }
        // Lost after it arrived, or before the one after it did: in turns.
        between.arrives.store(at % 2 == 0, Ordering::SeqCst);
        let mut command = house.command(words);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        between.process.store(child.id(), Ordering::SeqCst);
        between.left.store(at, Ordering::SeqCst);
        let code = child.wait().unwrap().code();
        between.process.store(0, Ordering::SeqCst);
        between.left.store(i64::MAX, Ordering::SeqCst);
        let (intune, registered, entra) = house.stands("TEST-OSL-003");
        assert!(!registered || entra, "at {at}: Entra goes after Autopilot");
        assert!(!intune || registered, "at {at}: Autopilot goes after Intune");
        let again = house.run(words);
        // One that was killed after its end has nothing to go on with.
        if again.code == 3 {
            says(&again, 3, &["left the ledger on"]);
        } else {
            says(&again, 0, &["1 device has left"]);
        }
        house.has_left("TEST-OSL-003");
        assert_eq!(house.ask("GET", "/_sim/registrations", "").as_array().unwrap().len(), 8, "at {at}");
        if code.is_some() {
            break;
        }
        kills += 1;
    }
    println!("killed {kills} times");
    assert!(kills > 20, "killed {kills} times only");
}

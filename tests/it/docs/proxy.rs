//! The how-to for a proxy, with nginx itself in front of the page's daemon.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use super::{blocks::Page, pages, session::Session};
use crate::support::wait_for;

/// nginx with a page's site. It goes with the test.
pub struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        // SIGTERM: the master takes its workers with it.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn docs_behind_a_proxy() {
    let page = Page::read("docs/how-to/behind-a-proxy.md");
    let mut session = Session::start().await;
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let folder = session.folder().join("nginx");
    fs::create_dir_all(folder.join("sites-enabled")).expect("a folder can be made");
    session.replace("/etc/nginx", &folder.display().to_string());
    session.replace("listen 443 ssl", &format!("listen 127.0.0.1:{port} ssl"));
    session.replace("https://tasks.example.com", &format!("https://tasks.example.com:{port}"));
    fs::write(
        session.folder().join(".curlrc"),
        format!("no-progress-meter\nresolve = \"tasks.example.com:{port}:127.0.0.1\"\n"),
    )
    .expect("a file can be written");

    // Everything up to the start of nginx, nginx, then the rest.
    let start = page.blocks.iter().position(|block| block.text == "$ sudo systemctl restart nginx\n");
    let start = start.expect("the page starts nginx");
    pages::run(&page.blocks[..start], &mut session).await;
    let _nginx = nginx(&session, port).await;
    pages::run(&page.blocks[start + 1..], &mut session).await;
    // What the page says of WebSockets.
    let upgrade = "curl -s -o answer --max-time 2 -w '%{http_code}\n' --cacert /etc/nginx/tasks.pem \
        -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
        -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' -H 'Sec-WebSocket-Protocol: graphql-transport-ws' \
        -H \"Authorization: Bearer $TOKEN\" https://tasks.example.com/tasks/query";
    let answer = session.run(upgrade).await;
    assert!(answer.printed.starts_with("101"), "{answer:?}");
}

/// Starts nginx with what Debian's `nginx.conf` has around a site.
async fn nginx(session: &Session, port: u16) -> Nginx {
    let folder = session.folder().join("nginx");
    let root = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
        .concat();
    let config = format!(
        "{root}worker_processes 1;\ndaemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n\
         events {{ worker_connections 64; }}\nhttp {{\naccess_log off;\n{temporary}include {folder}/sites-enabled/*;\n}}\n",
        folder = folder.display(),
    );
    fs::write(folder.join("nginx.conf"), config).expect("a file can be written");
    let mut command = Command::new("nginx");
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    command.env("PATH", path).arg("-p").arg(&folder).arg("-c").arg(folder.join("nginx.conf"));
    command.args(["-e", "error.log"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let process = command.spawn().expect("nginx is there: scripts/test brings it; or apt-get install nginx-light");
    let mut nginx = Nginx(process);
    wait_for("nginx", async || {
        assert!(nginx.0.try_wait().expect("a child").is_none(), "nginx ended: its messages are above");
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    nginx
}

// SPDX-License-Identifier: Apache-2.0
// An HTTP server and client, files, a child process and a worker thread.
"use strict";
const http = require("http");
const fs = require("fs");
const child = require("child_process");
const { Worker } = require("worker_threads");

console.log(process.version, [1, 2, 3].map((x) => x * 2));
fs.writeFileSync("/tmp/check-js", "written");
console.log(fs.readFileSync("/tmp/check-js", "utf8"));
const server = http.createServer((q, r) => r.end("asked for " + q.url)).listen(0, "127.0.0.1", () => {
    http.get({ port: server.address().port, host: "127.0.0.1", path: "/x" }, (r) => {
        r.on("data", (d) => console.log(d.toString()));
        r.on("end", () => {
            server.close();
            child.execFile("echo", ["child"], (error, out) => {
                console.log(error, out);
                const worker = new Worker('require("worker_threads").parentPort.postMessage(7)', { eval: true });
                worker.on("message", (m) => {
                    console.log("worker", m);
                    process.exitCode = 6;
                });
            });
        });
    });
});

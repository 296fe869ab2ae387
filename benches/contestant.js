// proper-lockfile as a contestant in benches/compare. contestant.rs describes its commands and answers.
//
//     node contestant.js default|50ms PATH
//
// NODE_PATH leads to the package. By default its waiter pauses for 1 s and then for twice as long each time; with 50ms, always for
// 50 ms.
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const lockfile = require("proper-lockfile");

const [pauses, path] = process.argv.slice(2);
const retries = { forever: true, ...(pauses === "50ms" && { minTimeout: 50, maxTimeout: 50 }) };
let isTold = false;
const options = { realpath: false, retries, onCompromised: () => (isTold = true) };
const kept = [];
let release;

const now = () => String(Math.round((performance.timeOrigin + performance.now()) * 1000)) + "000";
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function takeTurns(number, holdUs, file) {
    for (let turn = 0; turn < number; turn++) {
        const give = await lockfile.lock(path, options);
        fs.writeFileSync(file, String(Number(fs.readFileSync(file)) + 1));
        if (holdUs) await pause(holdUs / 1000);
        await give();
    }
}

async function obey(command, ...args) {
    switch (command) {
        case "cycles": {
            const started = process.hrtime.bigint();
            for (let cycle = 0; cycle < Number(args[0]); cycle++) await (await lockfile.lock(path, options))();
            return [(process.hrtime.bigint() - started) / BigInt(args[0])];
        }
        case "acquire":
            release = await lockfile.lock(path, options);
            return ["acquired", now()];
        case "release": {
            const began = now();
            await release();
            return ["released", began];
        }
        case "turns":
            await takeTurns(Number(args[0]), Number(args[1]), args[2]);
            return ["done", now()];
        case "told":
            return [isTold ? "yes" : "no"];
        case "release-lost":
            return [await release().then(() => "silent", (error) => error.code)];
        case "keep":
            for (let n = 0; n < Number(args[0]); n++) kept.push(await lockfile.lock(path + n, options));
            return ["kept"];
    }
    throw new Error(`${command}: not a command`);
}

async function main() {
    for await (const line of readline.createInterface({ input: process.stdin })) {
        const answer = await obey(...line.split("\t"));
        fs.writeSync(1, answer.join("\t") + "\n");
    }
}

main();

// proper-lockfile as a contestant in benches/compare. contestant.rs describes its commands and answers.
//
//     node contestant.js PATH
//
// NODE_PATH leads to the package.
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const lockfile = require("proper-lockfile");

const path = process.argv[2];
const options = { realpath: false, retries: { forever: true } };
const kept = [];
let release;

const now = () => String(BigInt(Date.now()) * 1000000n);
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

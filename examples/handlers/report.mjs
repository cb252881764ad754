#!/usr/bin/env node
// Adds up sales by country: ebb enqueue Report sales.csv totals.json
//
// The file has a line a sale, "country,amount". It may be long: what was added up so
// far, and where in the file that was, is the checkpoint.

import { createReadStream, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'

const checkpoint = process.env.EBB_CHECKPOINT
const [input, output] = JSON.parse(readFileSync(0, 'utf8')).args

const state = existsSync(checkpoint) ? JSON.parse(readFileSync(checkpoint, 'utf8')) : { offset: 0, cents: {} }
const began = state.offset

// A new file replaces the old one as a whole: no half of it is ever read.
function replace(file, value) {
  writeFileSync(`${file}.new`, JSON.stringify(value))
  renameSync(`${file}.new`, file)
}

// The worker must end before the job does: save, and say that it was this signal.
process.on('SIGTERM', () => {
  replace(checkpoint, state)
  process.exit(143)
})

function add(line) {
  const [country, amount] = line.toString().split(',')
  if (!Number.isFinite(Number(amount))) throw new Error(`at byte ${state.offset}: no amount`)
  state.cents[country] = (state.cents[country] ?? 0) + Math.round(Number(amount) * 100)
}

let rest = Buffer.alloc(0) // a line whose end is not read yet
let saved = Date.now()
for await (const chunk of createReadStream(input, { start: began })) {
  rest = Buffer.concat([rest, chunk])
  // The offset moves with each line, so that a line counts once, whenever TERM comes.
  for (let end; (end = rest.indexOf(10)) >= 0; rest = rest.subarray(end + 1)) {
    add(rest.subarray(0, end))
    state.offset += end + 1
  }
  if (Date.now() - saved > 500) {
    replace(checkpoint, state)
    saved = Date.now()
  }
}
if (rest.length > 0) add(rest)

replace(output, Object.fromEntries(Object.entries(state.cents).map(([country, cents]) => [country, cents / 100])))
console.log(`${Object.keys(state.cents).length} countries; began at byte ${began}`)

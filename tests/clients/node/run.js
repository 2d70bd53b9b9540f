// Runs the cases that node_test.go asks for: the first line on standard output
// lists them, each line on standard input ({name, base, gate}) starts one, and each
// that has ended is a line again ({name, error}).
import { writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { cases } from './cases.js'
import { Wire } from './wire.js'

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

// What SDKs log would disturb the protocol.
console.log = console.info = console.debug = console.error

// A promise that an SDK forgets (@google/generative-ai's response, behind LangChain's) would
// end this process, and all cases with it.
process.on('unhandledRejection', (error) => console.error('unhandled rejection:', error?.stack ?? error))

say([...cases].map(([name, { run, ...rest }]) => ({ name, ...rest })))

async function run({ name, base, gate }) {
  const wire = new Wire(new URL(base).host)
  try {
    await cases.get(name).run({ base, wire, wake: () => writeFileSync(gate, '\n') })
    say({ name, error: '' })
  } catch (error) {
    say({ name, error: `${error?.stack ?? error}\non the wire: ${wire}` })
  } finally {
    wire.close()
  }
}

for await (const line of createInterface({ input: process.stdin })) run(JSON.parse(line))
// Connections that are kept alive would hold the process.
process.exit()

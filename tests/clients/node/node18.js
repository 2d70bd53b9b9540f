// What SDKs take for granted and Node 18, which Debian 12 has, does not do.
import { webcrypto } from 'node:crypto'

globalThis.crypto ??= webcrypto

// When a response is aborted while it is read, fetch throws this where nobody
// can catch it.
process.on('uncaughtException', (error) => {
  if (error.code !== 'ERR_INVALID_STATE') throw error
})

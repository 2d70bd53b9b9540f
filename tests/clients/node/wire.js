// What goes over the wire below the SDKs. Their transport stays as it is: Node's
// own fetch says on diagnostics channels what it does.
import assert from 'node:assert/strict'
import diagnostics from 'node:diagnostics_channel'
import dns from 'node:dns'

// Routes are found by host, and every host of a test is this machine.
const { lookup } = dns
dns.lookup = (name, options, callback) => lookup(name.endsWith('.test') ? '127.0.0.1' : name, options, callback)

/** The requests to one host, in the order of their beginning. */
export class Wire {
  static #byHost = new Map()
  static #requests = new WeakMap()

  static {
    diagnostics.subscribe('undici:request:create', ({ request }) => {
      const wire = Wire.#byHost.get(new URL(request.origin).host)
      if (!wire) return
      const exchange = { path: request.path }
      wire.#exchanges.push(exchange)
      Wire.#requests.set(request, { wire, exchange })
    })
    diagnostics.subscribe('undici:request:headers', ({ request, response }) => {
      const { wire, exchange } = Wire.#requests.get(request) ?? {}
      if (!wire) return
      const headers = response.headers.map(String)
      exchange.status = response.statusCode
      exchange.cold = headers[headers.findIndex((name) => name.toLowerCase() === 'x-keda-http-cold-start') + 1]
      wire.#begun()
    })
  }

  #host
  #exchanges = []
  #begun

  constructor(host) {
    this.#host = host
    /** Resolves when a response has begun. */
    this.answered = new Promise((resolve) => (this.#begun = resolve))
    Wire.#byHost.set(host, this)
  }

  close() {
    Wire.#byHost.delete(this.#host)
  }

  /** Asserts that these and no others were the responses. */
  saw(...expected) {
    assert.deepEqual(
      this.#exchanges.map(({ status, cold }) => ({ status, cold })),
      expected,
    )
  }

  /** Asserts that the first responses were these. */
  began(...expected) {
    assert.deepEqual(
      this.#exchanges.slice(0, expected.length).map(({ status, cold }) => ({ status, cold })),
      expected,
    )
  }

  toString() {
    return this.#exchanges.map(({ path, status, cold }) => `${path}: ${status ?? 'no answer'}, cold ${cold}`).join('; ') || 'nothing'
  }
}

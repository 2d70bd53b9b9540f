// A gRPC server whose messages are JSON. The message says what becomes of the
// call: {"fail": code} is that status.
import grpc from '@grpc/grpc-js'
import { methods } from '../clients/grpc.js'
import { start } from './app.js'

let calls = 0

const failure = ({ fail }) => fail && { code: fail, details: 'simulated failure' }

const server = new grpc.Server()
server.addService(methods, {
  echo({ request }, answer) {
    calls++
    const failed = failure(request)
    answer(failed, failed ? undefined : { ...request, calls })
  },
  count(call) {
    calls++
    for (let n = 1; n <= 3; n++) call.write({ n })
    const failed = failure(call.request)
    if (failed) call.emit('error', failed)
    else call.end()
  },
  talk(call) {
    calls++
    call.on('data', (message) => call.write(message))
    call.on('end', () => call.end())
  },
})

start(() =>
  server.bindAsync(`${process.env.HOST}:${process.env.PORT}`, grpc.ServerCredentials.createInsecure(), (error) => {
    if (error) throw error
  }),
)

// What the apps behind the routes have in common: they take as long to start as
// delay=milliseconds says, and stop when they are told to.
export function start(listen) {
  process.on('SIGTERM', () => process.exit())
  setTimeout(listen, Number(process.argv[2].replace('delay=', '')))
}

/** Bun's addition to the Worker of browsers, which the server's source uses. */
interface Worker {
  unref(): void
}

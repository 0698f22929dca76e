/** Runs cases one after the other, prints a line for each, and the totals at the end. */
export class CaseReport {
  #passed = 0
  #failed = 0

  /** Runs a case. It fails if it throws. */
  async try(group: string, name: string, work: () => Promise<unknown>): Promise<void> {
    const start = performance.now()
    const failure = await work().then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    const milliseconds = Math.round(performance.now() - start)
    console.log(`${failure ? 'FAIL' : 'ok'} ${group}: ${name} (${milliseconds} ms)`)
    if (failure === undefined) {
      this.#passed++
      return
    }
    this.#failed++
    const { error } = failure
    console.log(String(error instanceof Error ? error.message : error).replaceAll(/^/gm, '    '))
  }

  /** Prepares several cases. It counts as a case only if it fails. */
  async prepare<T>(group: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      await this.try(group, 'set up', () => Promise.reject(error))
      return undefined
    }
  }

  /** Prints the totals, which decide the exit code, and, after a failure, the server's log. */
  end(server: { log(): string } | undefined): void {
    if (this.#failed > 0 && server) console.log(`The server's log:\n${server.log()}`)
    console.log(`${this.#passed} passed, ${this.#failed} failed`)
    if (this.#failed > 0) process.exitCode = 1
  }
}

/** Cases that are tried one after the other, each with a line for people, and their sums at the end. */
export class CaseReport {
  #passed = 0
  #failed = 0

  /** Tries a case. One that throws has failed. */
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

  /** Does what several cases need. It is a case of its own only when it fails. */
  async prepare<T>(group: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      await this.try(group, 'set up', () => Promise.reject(error))
      return undefined
    }
  }

  /** Prints the sums, which decide the exit code, and the server's log when something failed. */
  end(server: { log(): string } | undefined): void {
    if (this.#failed > 0 && server) console.log(`The server's log:\n${server.log()}`)
    console.log(`${this.#passed} passed, ${this.#failed} failed`)
    if (this.#failed > 0) process.exitCode = 1
  }
}

import type { Machine } from '../installs/debian-machine.ts'

const commandSecondsMax = 180

/** The shell's prompt: the exit code of the last command, between two characters that nothing else prints. */
const PROMPT = /␞(\d+)␟$/

/** What asks for an answer, at the end of the output. */
const QUESTION = /(?:(?:password|username)[^\n]*: ?|\[y\/N\] ?)$/i

/** What a command printed on the terminal, and its exit code. */
export interface Typed {
  output: string
  code: number
}

/** A login shell of a user, on a terminal of a machine. `await using` ends it. */
export class LoginShell implements AsyncDisposable {
  #child: Bun.Subprocess
  #decoder = new TextDecoder()
  /** What was printed since the last line was typed. */
  #output = ''
  #answers: string[] = []
  #changed = Promise.withResolvers<void>()

  private constructor(machine: Machine, user: string) {
    const session = ['setsid', '--ctty', '--wait', 'runuser', '--user', user, '--']
    const home = [`HOME=/home/${user}`, `USER=${user}`, 'TERM=dumb', 'LANG=C.UTF-8']
    const shell = [
      'sh',
      '-c',
      'cd && XDG_RUNTIME_DIR=/run/user/$(id --user) exec bash --login --noediting -i',
    ]
    this.#child = Bun.spawn([...machine.inside, ...session, 'env', ...home, ...shell], {
      terminal: { cols: 150, rows: 50, data: (_, bytes) => this.#read(bytes) },
    })
    void this.#child.exited.then(() => this.#changed.resolve())
  }

  static async open(machine: Machine, user: string): Promise<LoginShell> {
    const shell = new LoginShell(machine, user)
    await shell.type("stty -echo; set +H; unset PROMPT_COMMAND; PS2= PS1='␞$?␟'")
    return shell
  }

  /**
   * Types a command, waits until it ends, and returns what it printed. `answers` are typed when it asks for a name, a
   * password or a confirmation.
   * @throws Error if it does not end, or asks for more
   */
  async type(command: string, answers: string[] = []): Promise<Typed> {
    this.#enter(command, answers)
    return await this.#prompt()
  }

  /** Types a command that keeps running, waits until it prints something, and returns what it printed until then. */
  async start(command: string, until: RegExp): Promise<string> {
    this.#enter(command, [])
    return await this.#wait(() => {
      if (PROMPT.test(this.#output)) throw new Error(`${command} ended:\n${this.#output}`)
      return until.test(this.#output) ? this.#output : undefined
    })
  }

  /** Presses Ctrl-C, and waits until the command ends. */
  async interrupt(): Promise<Typed> {
    this.#child.terminal?.write('\x03')
    return await this.#prompt()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#child.exited
  }

  #enter(command: string, answers: string[]): void {
    this.#output = ''
    this.#answers = [...answers]
    this.#child.terminal?.write(`${command}\n`)
  }

  #read(bytes: Uint8Array): void {
    this.#output += Bun.stripANSI(this.#decoder.decode(bytes, { stream: true })).replaceAll('\r', '')
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  async #prompt(): Promise<Typed> {
    return await this.#wait(() => {
      const [prompt, code] = PROMPT.exec(this.#output) ?? []
      if (prompt !== undefined) return { output: this.#output.slice(0, -prompt.length), code: Number(code) }
      if (!QUESTION.test(this.#output)) return undefined
      const answer = this.#answers.shift()
      if (answer === undefined) throw new Error(`nothing answers what was asked:\n${this.#output}`)
      this.#output += '\n'
      this.#child.terminal?.write(`${answer}\n`)
      return undefined
    })
  }

  /** Calls `find` after each output, until it returns something. */
  async #wait<T>(find: () => T | undefined): Promise<T> {
    const late = Promise.withResolvers<'late'>()
    const deadline = setTimeout(() => late.resolve('late'), commandSecondsMax * 1000)
    try {
      for (;;) {
        const changed = this.#changed.promise
        const found = find()
        if (found !== undefined) return found
        const isLate = (await Promise.race([changed, late.promise])) === 'late'
        if (isLate || this.#child.exitCode !== null)
          throw new Error(`the command did not end:\n${this.#output}`)
      }
    } finally {
      clearTimeout(deadline)
    }
  }
}

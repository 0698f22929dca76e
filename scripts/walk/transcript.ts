import { match } from 'node:assert/strict'
import { LoginShell } from './login-shell.ts'
import type { Host } from './network.ts'

const shownLinesMax = 14
const shownColumnsMax = 170

/** What a command must do, and what is typed when it asks. */
export interface Expected {
  /** The exit code, 0 if it is not given. */
  exit?: number
  /** What it prints. */
  shows?: RegExp
  /** The answers to its questions, in order. */
  answers?: string[]
  /** How many lines of its output are printed. */
  lines?: number
}

/** Prints what is typed on each host and what it shows, without secrets. */
export class Transcript {
  readonly #secrets = new Map<string, string>()

  /** Prints a placeholder instead of a secret from now on. */
  hide(secret: string, placeholder: string): void {
    this.#secrets.set(secret, placeholder)
  }

  heading(text: string): void {
    console.log(`\n# ${text}`)
  }

  command(host: Host, command: string): void {
    console.log(`${host.user}@${host.name}$ ${this.#clean(command)}`)
  }

  /** Prints the first lines of an output. */
  output(text: string, linesMax = shownLinesMax): void {
    const lines = this.#clean(text)
      .split('\n')
      .map((line) => line.trimEnd().slice(0, shownColumnsMax))
      .filter((line) => line !== '')
    for (const line of lines.slice(0, linesMax)) console.log(line)
    if (lines.length > linesMax) console.log(`… (${lines.length - linesMax} more lines)`)
  }

  #clean(text: string): string {
    for (const [secret, placeholder] of this.#secrets) text = text.replaceAll(secret, placeholder)
    return text.replaceAll(/cay_[\w-]{16,}/g, 'cay_TOKEN')
  }
}

/** A terminal of a host, whose commands are in the transcript. `await using` closes it. */
export class Terminal implements AsyncDisposable {
  readonly host: Host
  readonly transcript: Transcript
  readonly shell: LoginShell

  private constructor(host: Host, transcript: Transcript, shell: LoginShell) {
    this.host = host
    this.transcript = transcript
    this.shell = shell
  }

  static async open(host: Host, transcript: Transcript): Promise<Terminal> {
    return new Terminal(host, transcript, await LoginShell.open(host.machine, host.user))
  }

  /**
   * Types a command, and returns what it printed.
   * @throws Error if it ends or prints otherwise than expected
   */
  async type(command: string, { exit = 0, shows, answers = [], lines }: Expected = {}): Promise<string> {
    this.transcript.command(this.host, command)
    const { output, code } = await this.shell.type(command, answers)
    this.transcript.output(output, lines)
    if (code !== 0) console.log(`[exit ${code}]`)
    if (code !== exit) throw new Error(`${command} exited with ${code} instead of ${exit}`)
    if (shows !== undefined) match(output, shows, `${command} does not print ${shows}`)
    return output
  }

  /** Types a command that keeps running, and returns what it printed until it was ready. */
  async start(command: string, ready: RegExp): Promise<string> {
    this.transcript.command(this.host, `${command}    # runs on`)
    return await this.shell.start(command, ready)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shell[Symbol.asyncDispose]()
  }
}

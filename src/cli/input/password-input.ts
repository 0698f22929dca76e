import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { CommandError, EXIT } from '../failure.ts'

/** Asks for passwords on a terminal without showing them; otherwise reads them from the lines of standard input. */
export async function readPasswords(...questions: string[]): Promise<string[]> {
  if (!process.stdin.isTTY) {
    const lines = (await Bun.stdin.text()).split(/\r?\n/)
    return questions.map((_, at) => lines[at] ?? '')
  }
  const answers: string[] = []
  for (const question of questions) answers.push(await ask(question))
  return answers
}

/** Reads a new password, which is asked for twice on a terminal. Throws a CommandError if the two differ. */
export async function readNewPassword(question: string): Promise<string> {
  return (await readChange(question, undefined)).password
}

/** Reads a new password like `readNewPassword`, after the current one if there is a question for that. */
export async function readChange(
  question: string,
  current: string | undefined,
): Promise<{ password: string; currentPassword: string | undefined }> {
  const questions = [...(current === undefined ? [] : [current]), question]
  const isAsked = process.stdin.isTTY
  const answers = await readPasswords(...questions, ...(isAsked ? [`${question} again`] : []))
  const password = answers[questions.length - 1] ?? ''
  if (isAsked && answers.at(-1) !== password)
    throw new CommandError('the passwords differ: nothing was changed', EXIT.usage)
  return { password, currentPassword: current === undefined ? undefined : answers[0] }
}

/** Asks for a line on a terminal. */
export async function readLine(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return (await lines.question(`${question}: `)).trim()
  } finally {
    lines.close()
  }
}

async function ask(question: string): Promise<string> {
  process.stderr.write(`${question}: `)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true })
  try {
    return await lines.question('')
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}

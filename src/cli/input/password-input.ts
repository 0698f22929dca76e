import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'

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

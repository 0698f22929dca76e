import { CommandError } from '../failure.ts'

/** Characters of one event. */
const EVENT_CHARACTERS_MAX = 1024 * 1024

/**
 * The data of each server-sent event of a stream, as it comes (HTML, "Server-sent events"). Comments, which keep a
 * connection alive, and other fields are left out. Throws a CommandError for an event without an end.
 */
export async function* readEvents(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  let data: string[] = []
  let characters = 0
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true })
    const lines = rest.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const [, value] = /^data: ?(.*)$/s.exec(line) ?? []
      if (value !== undefined) data.push(value)
      characters += value?.length ?? 0
      if (line !== '' || data.length === 0) continue
      yield data.join('\n')
      data = []
      characters = 0
    }
    if (rest.length + characters > EVENT_CHARACTERS_MAX)
      throw new CommandError('the server sends an endless event')
  }
}

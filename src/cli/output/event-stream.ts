import { EventSourceParserStream, ParseError } from 'eventsource-parser/stream'
import { CommandError, EXIT } from '../failure.ts'

/** The most characters of one event. */
const EVENT_CHARACTERS_MAX = 1024 * 1024

/** Yields the data of each server-sent event as it arrives. Throws a CommandError for an event without an end. */
export async function* readEvents(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const text = stream.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)
  try {
    for await (const { data } of text.pipeThrough(
      new EventSourceParserStream({ maxBufferSize: EVENT_CHARACTERS_MAX }),
    ))
      yield data
  } catch (cause) {
    if (!(cause instanceof ParseError)) throw cause
    throw new CommandError('the server sent an event that is too long', EXIT.failed, { cause })
  }
}

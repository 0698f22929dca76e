import { formatDocument, OPENAPI_COPY } from './lib/openapi-copy.ts'
import { startServer } from './lib/server.ts'

/** `openapi`: writes the OpenAPI document of the executable to docs/openapi.json. */
export async function run(): Promise<void> {
  await using server = await startServer()
  await Bun.write(OPENAPI_COPY, await formatDocument(server.address))
  console.log(OPENAPI_COPY)
}

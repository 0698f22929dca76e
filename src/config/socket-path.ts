import { join } from 'node:path'

/** Where commands reach the server of a data folder. */
export function socketPath(data: string): string {
  return join(data, 'cay.sock')
}

import path from '../../LICENSE' with { type: 'file' }

/** Prints the licences of everything in the executable; from source, only that of cay. */
export async function printLicenses(): Promise<void> {
  const bytes = await Bun.file(path).bytes()
  const isCompressed = bytes[0] === 0x1f
  await Bun.write(Bun.stdout, isCompressed ? Bun.gunzipSync(bytes) : bytes)
}

const stopSecondsMax = 30

/** Stops a process with SIGTERM, or by force if it does not exit in time, and waits until it has exited. */
export async function stopProcess(child: Bun.Subprocess): Promise<void> {
  child.kill('SIGTERM')
  const force = setTimeout(() => child.kill('SIGKILL'), stopSecondsMax * 1000)
  await child.exited
  clearTimeout(force)
}

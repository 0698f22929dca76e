/** The page's shell, imported as a file: its path in the source, or that of all assets inside the executable. */
declare module '*/shell.html' {
  const path: string
  export default path
}

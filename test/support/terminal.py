# Runs a program at a terminal of its own and types: STEPS PROGRAM [ARGUMENT...]. STEPS is a JSON list of [what to wait for in
# the output, keys to type]; the last may have null for its keys. Prints JSON: the output, the exit status, whether the
# terminal showed what was typed at each step, and whether it does after the end.
import json, os, pty, select, signal, sys, termios

steps = json.loads(sys.argv[1])
parent, child = pty.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    import fcntl
    fcntl.ioctl(child, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(child, fd)
    os.close(parent)
    os.execv(sys.argv[2], sys.argv[2:])

def shows():
    return bool(termios.tcgetattr(child)[3] & termios.ECHO)

output = ""
seen = 0
shown = []
status = None
while status is None or select.select([parent], [], [], 0)[0]:
    if select.select([parent], [], [], 0.05)[0]:
        output += os.read(parent, 65536).decode(errors="replace")
    if status is None:
        ended, code = os.waitpid(pid, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(code)
    if steps and steps[0][0] in output[seen:]:
        wanted, keys = steps.pop(0)
        seen = output.index(wanted, seen) + len(wanted)
        shown.append(shows())
        if keys == "SIGTERM":
            os.kill(pid, signal.SIGTERM)
        elif keys is not None:
            os.write(parent, keys.encode())
print(json.dumps({"output": output, "status": status, "shown": shown, "after": shows(), "left": len(steps)}))

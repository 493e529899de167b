// What acts on the bot: asks once more, and for the token. It stays in this tab's memory alone.
let token = "";
export function act(title, text, address, body = null) {
  const dialog = document.getElementById("ask");
  const [heading, said, field, problem, yes] = ["ask-title", "ask-text", "ask-token", "ask-error", "ask-yes"].map((id) => document.getElementById(id));
  heading.textContent = title; said.textContent = text; problem.textContent = ""; field.value = token;
  return new Promise((resolve) => {
    const send = async () => {
      token = field.value.trim(); yes.disabled = true;
      try {
        const answer = await fetch(address, { method: "POST", headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" }, body: body === null ? undefined : JSON.stringify(body) });
        if (answer.ok) { dialog.close("yes"); return; }
        problem.textContent = (await answer.json()).error;
        if (answer.status === 401) token = "";
      } catch (error) { problem.textContent = `the server cannot be reached: ${error.message}`; }
      finally { yes.disabled = false; }
    };
    const typed = (event) => { if (event.key === "Enter") { event.preventDefault(); void send(); } };
    yes.addEventListener("click", send); field.addEventListener("keydown", typed);
    dialog.addEventListener("close", () => {
      yes.removeEventListener("click", send); field.removeEventListener("keydown", typed); resolve(dialog.returnValue === "yes");
    }, { once: true });
    dialog.returnValue = ""; dialog.showModal();
  });
}

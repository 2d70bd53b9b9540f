{let d=document,n=d.currentScript.dataset.n,r=()=>location.reload();setTimeout(()=>d.readyState[0]=="l"&&r(),25e3);+n&&addEventListener("load",()=>setTimeout(r,n*1e3))}
